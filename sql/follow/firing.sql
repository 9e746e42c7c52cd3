-- Triggers that fire for rows that replication brings: those that are enabled always, or for a replica.
select n.nspname::text as schema,
       c.relname::text as name,
       t.tgname::text as trigger_name
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal
  and t.tgenabled in ('A', 'R')
  and n.nspname not in ('pgconvoy', 'pgconvoy_follow')
order by 1, 2, 3
