-- Where a server keeps its tablespaces: each with its place below the data directory (empty: in that itself); and how much the connected
-- database takes. Who may not know the data directory is told nothing.
select s.setting as data_directory,
       t.spcname::text as tablespace,
       case when t.spcname in ('pg_default', 'pg_global') then '' else 'pg_tblspc/' || t.oid end as place,
       (select pg_catalog.pg_database_size(pg_catalog.current_database())) as database_bytes
from pg_catalog.pg_settings s
cross join pg_catalog.pg_tablespace t
where s.name = 'data_directory'
order by t.spcname
