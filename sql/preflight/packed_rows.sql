-- What the rows of each table take at the least, by the planner's statistics: header and line pointer (28 bytes) and the values that are in
-- line, without gaps, dead rows and TOAST. Of a table that nobody has analyzed, or of columns that the role may not read, nothing is known.
select n.nspname::text as schema,
       c.relname::text as name,
       (greatest(c.reltuples, 0) * (28 + s.width))::int8 as bytes
from (select schemaname, tablename, sum((1 - null_frac) * avg_width) as width
      from pg_catalog.pg_stats
      where not inherited
      group by schemaname, tablename) s
join pg_catalog.pg_namespace n on n.nspname = s.schemaname
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = s.tablename and c.relkind = 'r'
where n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
