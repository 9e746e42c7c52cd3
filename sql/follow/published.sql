-- The tables of a publication ($1), each by itself.
select t.schemaname::text as schema,
       t.tablename::text as name
from pg_catalog.pg_publication_tables t
where t.pubname = $1::text
order by t.schemaname, t.tablename
