-- Which of these server processes still serve a session of ours.
select pid
from pg_catalog.pg_stat_activity
where pid = any($1::int4[]) and application_name like 'pgconvoy:%'
