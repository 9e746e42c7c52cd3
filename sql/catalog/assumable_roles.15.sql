-- Roles that the connected role can become, and so give objects to.
select r.rolname::text as name
from pg_catalog.pg_roles r
where pg_catalog.pg_has_role(r.oid, 'MEMBER')
order by r.rolname
