-- What a database holds that logical replication does not carry: kind, how many, a few names.
with held as (
    select case c.relkind when 'S' then 'sequence' when 'm' then 'materialized view' when 'f' then 'foreign table'
                          else 'unlogged table' end as kind,
           pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where (c.relkind in ('S', 'm', 'f') and c.relpersistence <> 't' or c.relkind = 'r' and c.relpersistence = 'u')
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
    union all
    select 'configuration table of an extension', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_extension e on c.oid = any (e.extconfig)
    where c.relkind = 'r' and c.relpersistence = 'p'
    union all
    select 'large object', m.oid::text from pg_catalog.pg_largeobject_metadata m
)
select h.kind,
       count(*) as count,
       (pg_catalog.array_agg(h.name order by h.name))[1:5] as examples
from held h
group by h.kind
order by h.kind
