-- What the operating system says of the servers of our own sessions in this database, where it is Linux: the server reads its own
-- /proc/PID/stat, which anybody on that machine may. NULL where there is no such file.
select
    a.pid::int4 as pid,
    pg_catalog.pg_read_file('/proc/' || a.pid || '/stat', 0, 4096, true) as stat
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.application_name like 'pgconvoy:%';
