-- Large objects with their owner, and what else there is to say of them. Content is read elsewhere.
select m.oid,
       pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
       m.lomacl::text[] as acl,
       pg_catalog.obj_description(m.oid, 'pg_largeobject') as comment
from pg_catalog.pg_largeobject_metadata m
order by m.oid
