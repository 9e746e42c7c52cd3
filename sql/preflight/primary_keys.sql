-- Tables with rows of their own and a primary key that is a B-tree, with its columns in their order, and what both take; the smallest first.
-- An access method of somebody else's (12 and later) has ideas of its own about rows.
select n.nspname::text as schema,
       c.relname::text as name,
       k.relname::text as key_name,
       pg_catalog.pg_relation_filepath(c.oid) as path,
       -- As VACUUM has last found it; what was written since may have changed it. What has no pages has none that are not.
       size.bytes = 0
         or (c.relallvisible = c.relpages and c.relpages * current_setting('block_size')::int8 = size.bytes) as all_visible,
       (select pg_catalog.array_agg(a.attname::text order by u.place)
        from pg_catalog.unnest(i.indkey::int2[]) with ordinality as u(number, place)
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.number
        -- Behind them are those that are only included (11 and later).
        where u.place <= coalesce((pg_catalog.to_jsonb(i) ->> 'indnkeyatts')::int4, i.indnatts)) as columns,
       size.bytes + coalesce(pg_catalog.pg_relation_size(k.oid), 0) as bytes
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indrelid and c.relkind = 'r' and c.relam in (0, 2)
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class k on k.oid = i.indexrelid
join pg_catalog.pg_am am on am.oid = k.relam and am.amname = 'btree'
cross join lateral (select coalesce(pg_catalog.pg_relation_size(c.oid), 0) as bytes) size
where i.indisprimary
  and i.indisvalid
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  and pg_catalog.has_table_privilege(c.oid, 'SELECT')
order by bytes, n.nspname, c.relname
