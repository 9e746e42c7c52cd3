-- ALTER DATABASE ... SET of the connected database (no role), ALTER ROLE ... IN DATABASE ... SET for it, and ALTER ROLE ... SET;
-- and whether it applies to our own sessions.
select r.rolname::text as role,
       d.datname::text as database,
       pg_catalog.split_part(c.entry, '=', 1) as name,
       pg_catalog.substr(c.entry, pg_catalog.strpos(c.entry, '=') + 1) as value,
       (r.rolname is null or r.rolname = session_user) as applies
from pg_catalog.pg_db_role_setting s
left join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
cross join lateral pg_catalog.unnest(s.setconfig) as c(entry)
where (s.setdatabase = 0 or d.datname = pg_catalog.current_database())
  and (s.setrole = 0 or r.rolname is not null)
order by 1 nulls first, 2 nulls first, 3
