-- Who has how many connections to this server, the most first.
select
    pg_catalog.count(*) as sessions,
    a.usename::text as role,
    a.datname::text as database,
    case when a.application_name like 'pgconvoy:%' then 'pgconvoy' else a.application_name end as application,
    pg_catalog.current_setting('max_connections') as max_connections
from pg_catalog.pg_stat_activity a
where a.backend_type = 'client backend'
group by 2, 3, 4
order by 1 desc, 2, 3, 4;
