-- Everything that a -t pattern can match, with what it inherits from. Run with the role's own search_path, because an
-- unqualified pattern means what is visible there.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       pg_catalog.pg_table_is_visible(c.oid) as visible,
       array(select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = c.oid) as parents
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by c.oid
