-- What is in the database and kept from the connected role: pg_dump leaves subscriptions out unless a superuser runs it, and the options of
-- other roles' user mappings (a password, say) are not shown.
select 'subscription'::text as class,
       s.subname::text as name,
       null::text as server
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = pg_catalog.current_database()
  and not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
union all
select 'user mapping', m.usename::text, m.srvname::text
from pg_catalog.pg_user_mappings m
join pg_catalog.pg_foreign_server f on f.oid = m.srvid
where m.umoptions is null
  and not (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
  and not (case when m.umuser = 0 then pg_catalog.pg_has_role(f.srvowner, 'USAGE')
                else m.usename = current_user
                     and (pg_catalog.pg_has_role(f.srvowner, 'USAGE') or pg_catalog.has_server_privilege(f.oid, 'USAGE')) end)
order by 1, 2, 3
