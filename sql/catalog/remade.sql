-- What no dump says, so that it is made anew as something else: tables whose rows have an oid each (before version 12), and partitions
-- that somebody has begun to detach and not finished (since 14), with the table that they are to leave.
with relation as (
    -- relhasoids went with version 12. On newer servers the name finds what is beside the subquery instead.
    select c.*
    from (select false as relhasoids) since_12
    cross join lateral (
        select c.oid, c.relname, c.relnamespace, c.relkind, relhasoids as has_oids
        from pg_catalog.pg_class c
        where c.relkind in ('r', 'p', 'f')
          and c.relpersistence <> 't'
    ) c
), inheritance as (
    -- inhdetachpending came with version 14.
    select i.*
    from (select false as inhdetachpending) before_14
    cross join lateral (
        select i.inhrelid, i.inhparent, inhdetachpending as is_pending
        from pg_catalog.pg_inherits i
    ) i
)
select n.nspname::text as schema,
       c.relname::text as name,
       -- What is done to a parent is done to its children.
       exists (select from inheritance i join relation p on p.oid = i.inhparent
               where i.inhrelid = c.oid and p.has_oids) as inherited,
       null::text as parent_schema,
       null::text as parent_name
from relation c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.has_oids
  and c.relkind in ('r', 'p')
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
union all
select n.nspname::text,
       c.relname::text,
       false,
       pn.nspname::text,
       p.relname::text
from inheritance i
join relation c on c.oid = i.inhrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join relation p on p.oid = i.inhparent
join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
where i.is_pending
order by 1, 2
