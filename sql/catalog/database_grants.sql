-- Privileges on the connected database, in the order of its list: who was granted on stands behind who granted. Grantee is
-- NULL for PUBLIC.
select pg_catalog.pg_get_userbyid(a.grantor)::text as grantor,
       case when a.grantee <> 0 then pg_catalog.pg_get_userbyid(a.grantee)::text end as grantee,
       a.privilege_type as privilege,
       a.is_grantable as grantable
from pg_catalog.pg_database d
cross join lateral pg_catalog.unnest(d.datacl) with ordinality as item(acl, place)
cross join lateral pg_catalog.aclexplode(array[item.acl]) as a
where d.datname = pg_catalog.current_database()
order by item.place, a.privilege_type
