-- Rows written so far to each user table, since the statistics were last reset. What pgconvoy writes of its own is not counted.
select s.relid,
       s.schemaname::text as schema,
       s.relname::text as name,
       (s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::int8 as written
from pg_catalog.pg_stat_user_tables s
where s.schemaname not in ('pgconvoy', 'pgconvoy_follow')
order by s.relid
