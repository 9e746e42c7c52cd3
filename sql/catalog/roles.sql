-- Names of all roles.
select rolname::text as name from pg_catalog.pg_roles order by rolname
