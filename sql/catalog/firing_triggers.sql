-- Triggers of users that fire when rows are loaded or a table is truncated, unless they are disabled. Of those that partitions have
-- inherited each is listed. enabled is O (not in sessions that play the part of a replica), R (only in these) or A (always).
select n.nspname::text as schema,
       c.relname::text as name,
       t.tgname::text as trigger_name,
       t.tgenabled::text as enabled,
       (t.tgtype & 4) <> 0 as on_insert
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal
  and t.tgenabled <> 'D'
  and (t.tgtype & 36) <> 0
  and n.nspname not in ('pgconvoy', 'pgconvoy_follow')
order by 1, 2, 3
