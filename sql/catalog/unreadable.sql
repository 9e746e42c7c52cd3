-- Tables, materialized views and sequences that the connected role may not read, or of which row-level security would hide rows.
-- What belongs to an extension is left to the extension, and our own schemas are no part of a run.
select n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm', 'S')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and (not pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       or not pg_catalog.has_table_privilege(c.oid, 'SELECT')
       or (c.relkind in ('r', 'p') and pg_catalog.row_security_active(c.oid)))
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
