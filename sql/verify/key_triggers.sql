-- Constraints whose own triggers, those that the server made to enforce them, are not all enabled as they were made: one row for
-- each constraint, relation and state. A foreign key has triggers on both of its tables. Constraints that the server made of
-- another one of the same table, for the partitions of what it references, count as that one.
with recursive owned as (
    -- conparentid came with version 11. On older servers the name finds what is beside the subquery instead.
    select k.*
    from (select 0::oid as conparentid) before_11
    cross join lateral (
        select k.oid, k.conrelid, k.conname, k.contype, k.confrelid, conparentid as parent
        from pg_catalog.pg_constraint k
        where k.contype in ('f', 'p', 'u', 'x')
    ) k
), rooted as (
    select k.oid, k.oid as root
    from owned k
    where not exists (select from owned p where p.oid = k.parent and p.conrelid = k.conrelid)
    union all
    select k.oid, r.root
    from rooted r
    join owned p on p.oid = r.oid
    join owned k on k.parent = p.oid and k.conrelid = p.conrelid
)
select distinct
       n.nspname::text as schema,
       c.relname::text as name,
       k.conname::text as constraint_name,
       k.contype::text as kind,
       k.parent <> 0 as inherited,
       rn.nspname::text as referenced_schema,
       rc.relname::text as referenced_name,
       tn.nspname::text as on_schema,
       tc.relname::text as on_name,
       case t.tgenabled::text when 'D' then 'disabled' when 'R' then 'enabled in replica mode only' else 'always enabled' end as state
from pg_catalog.pg_trigger t
join rooted r on r.oid = t.tgconstraint
join owned k on k.oid = r.root
join pg_catalog.pg_class c on c.oid = k.conrelid and c.relpersistence <> 't'
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class tc on tc.oid = t.tgrelid
join pg_catalog.pg_namespace tn on tn.oid = tc.relnamespace
left join pg_catalog.pg_class rc on rc.oid = k.confrelid
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
where t.tgenabled <> 'O'
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by 1, 2, 3, 8, 9, 10
