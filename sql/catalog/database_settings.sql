-- Settings of the connected database (role is NULL) and of roles in it, in the order in which they are applied.
select r.rolname::text as role,
       pg_catalog.split_part(c.entry, '=', 1) as name,
       pg_catalog.substr(c.entry, pg_catalog.strpos(c.entry, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
cross join lateral pg_catalog.unnest(s.setconfig) with ordinality as c(entry, place)
where d.datname = pg_catalog.current_database()
order by r.rolname nulls first, c.place
