-- Large objects with their owner, and what else there is to say of them. Content is read elsewhere.
select m.oid,
       pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
       m.lomacl::text[] as acl,
       -- As bytes: in a SQL_ASCII database it need not be text in any encoding.
       pg_catalog.convert_to(pg_catalog.obj_description(m.oid, 'pg_largeobject'),
                             case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end) as comment
from pg_catalog.pg_largeobject_metadata m
order by m.oid
