-- A subscription of this database ($1): whether it is enabled, whether its apply worker runs.
select s.subenabled as enabled,
       bool_or(w.pid is not null) as running,
       0::int8 as errors,
       extract(epoch from pg_catalog.clock_timestamp() - max(w.last_msg_receipt_time))::float8 as silent_s
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
left join pg_catalog.pg_stat_subscription w on w.subname = s.subname
where s.subname = $1::text
group by s.subenabled
