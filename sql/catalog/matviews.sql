-- Materialized views, with every relation they read, also through views, and the owners of all of these: a
-- materialized view whose inputs belong to somebody else can only be refreshed once the grants are in place.
with recursive reads as (
    select r.ev_class as view, d.refobjid as relation
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
     and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> r.ev_class
), input as (
    select c.oid as matview, r.relation
    from pg_catalog.pg_class c
    join reads r on r.view = c.oid
    where c.relkind = 'm'
    union
    select i.matview, r.relation
    from input i
    join pg_catalog.pg_class c on c.oid = i.relation and c.relkind = 'v'
    join reads r on r.view = i.relation
), unknown as (
    select k.oid as relation
    from pg_catalog.pg_class k
    left join (select a.attrelid, pg_catalog.count(*) as columns
               from pg_catalog.pg_attribute a
               where a.attnum > 0
               group by 1) found on found.attrelid = k.oid
    where k.relnatts <> coalesce(found.columns, 0)
)
select c.oid,
       -- User-defined functions and operators: running the view's query runs them.
       exists (select
               from pg_catalog.pg_rewrite r
               join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
               where (r.ev_class = c.oid
                      or r.ev_class in (select i.relation from input i where i.matview = c.oid))
                 and d.refclassid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)
                 and d.refobjid >= 16384) as calls_user_code,
       n.nspname::text as schema,
       c.relname::text as name,
       c.relispopulated as populated,
       -- As bytes: in a SQL_ASCII database it need not be text in any encoding.
       pg_catalog.convert_to(pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), E'; \n'),
                             case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end) as definition,
       coalesce(pg_catalog.pg_table_size(c.oid), 0) as bytes,
       greatest(c.reltuples, 0)::float8 as row_estimate,
       array(select i.relation from input i where i.matview = c.oid order by 1) as inputs,
       exists (select from input i join pg_catalog.pg_class p on p.oid = i.relation
               where i.matview = c.oid and p.relowner <> c.relowner) as reads_foreign_property
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm'
  -- A damaged catalog may not know its query any more, nor all columns of what that reads: pg_dump tells.
  and exists (select from pg_catalog.pg_rewrite r where r.ev_class = c.oid)
  and not exists (select from unknown u
                  where u.relation = c.oid or u.relation in (select i.relation from input i where i.matview = c.oid))
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by c.oid
