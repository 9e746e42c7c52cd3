-- Grants on large objects, one row a privilege, for those whose privileges are not the default; in the order of their lists: who was
-- granted on stands behind who granted. Grantee is NULL for PUBLIC, grantor for the owner.
select m.oid,
       case when g.grantor <> m.lomowner then pg_catalog.pg_get_userbyid(g.grantor)::text end as grantor,
       case when g.grantee = 0 then null else pg_catalog.pg_get_userbyid(g.grantee)::text end as grantee,
       g.privilege_type as privilege,
       g.is_grantable as grantable
from pg_catalog.pg_largeobject_metadata m
left join lateral pg_catalog.unnest(m.lomacl) with ordinality as item(acl, place) on true
left join lateral pg_catalog.aclexplode(case when item.acl is not null then array[item.acl] end) as g on true
where m.lomacl is not null
order by m.oid, item.place, g.privilege_type
