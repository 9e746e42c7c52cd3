-- Unlogged tables: a server that crashes empties them, whatever was committed. Where row security holds for the owner as well,
-- only the size of the table may be asked for.
select n.nspname::text as schema, c.relname::text as name, c.relforcerowsecurity as hidden,
       pg_catalog.pg_relation_size(c.oid)::int8 as bytes
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence = 'u'
 order by 1, 2;
