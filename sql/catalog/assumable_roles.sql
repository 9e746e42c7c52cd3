-- Roles that the connected role can become, and so give objects to. From 16 on, membership alone is not enough.
select r.rolname::text as name
from pg_catalog.pg_roles r
where pg_catalog.pg_has_role(r.oid, 'SET')
order by r.rolname
