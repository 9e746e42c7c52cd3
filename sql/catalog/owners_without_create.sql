-- Of roles ($1) that are to own something in a schema ($2), those that may create nothing there. The schema is there already, where what
-- is there stays ($4), or it is made, or given away, and belongs to a role then ($3; empty if it is not).
select w.role as role,
       w.schema as schema,
       n.oid is not null as there
from unnest($1::text[], $2::text[], $3::text[]) as w (role, schema, schema_owner)
join pg_catalog.pg_roles r on r.rolname = w.role
left join pg_catalog.pg_namespace n on n.nspname = w.schema and $4::bool
left join pg_catalog.pg_roles o on o.rolname = w.schema_owner
where not r.rolsuper
  -- It owns what it makes.
  and r.rolname <> current_user
  and (n.oid is not null or o.oid is not null)
  and not coalesce(pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE'), false)
  and not coalesce(pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE'), false)
  -- What a new schema is granted by default may be just that.
  and (n.oid is not null
       or not exists (select from pg_catalog.pg_default_acl d where d.defaclobjtype = 'n'))
order by w.schema, w.role
