-- Sequences, with the extension whose configuration they are; their values are read one by one, because they are rows of their own relations.
-- A standby has none of those that are not logged, and of the others what was logged of them, which is ahead of what was given out:
-- only there the step and the size of the cache are told, which say how far.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name,
       (select e.extname::text from pg_catalog.pg_extension e where c.oid = any (e.extconfig)) as extension,
       case when pg_catalog.pg_is_in_recovery()
            then (select s.seqincrement from pg_catalog.pg_sequence s where s.seqrelid = c.oid) end as logged_step,
       case when pg_catalog.pg_is_in_recovery()
            then (select s.seqcache from pg_catalog.pg_sequence s where s.seqrelid = c.oid) end as cached
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S'
  and c.relpersistence <> 't'
  and (c.relpersistence <> 'u' or not pg_catalog.pg_is_in_recovery())
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
order by c.oid
