-- Settings that belong to this database, for all roles (ALTER DATABASE … SET) or for one (ALTER ROLE … IN DATABASE … SET).
select case when s.setrole = 0 then '' else quote_ident(r.rolname) || ': ' end || setting as name
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
cross join lateral unnest(s.setconfig) as setting
where d.datname = current_database()
order by s.setrole, setting
