-- Grants on large objects, one row a privilege, for those whose privileges are not the default.
select m.oid,
       pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
       case when g.grantee = 0 then null else pg_catalog.pg_get_userbyid(g.grantee)::text end as grantee,
       g.privilege_type as privilege,
       g.is_grantable as grantable
from pg_catalog.pg_largeobject_metadata m
left join lateral pg_catalog.aclexplode(m.lomacl) g on true
where m.lomacl is not null
order by m.oid
