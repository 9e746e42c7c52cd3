-- Large objects that the connected role may not read. No role but a superuser may read all of them.
select pg_catalog.count(*) as count,
       coalesce((pg_catalog.array_agg(m.oid order by m.oid))[1:3], '{}')::oid[] as examples
from pg_catalog.pg_largeobject_metadata m
where not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
  and pg_catalog.current_setting('lo_compat_privileges') = 'off'
  and not pg_catalog.pg_has_role(m.lomowner, 'USAGE')
  and not exists (select from pg_catalog.aclexplode(m.lomacl) a
                  where a.privilege_type = 'SELECT'
                    and (a.grantee = 0 or pg_catalog.pg_has_role(a.grantee, 'USAGE')))
