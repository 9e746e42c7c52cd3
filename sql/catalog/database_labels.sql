-- Security labels of the connected database.
select l.provider, l.label
from pg_catalog.pg_shseclabel l
join pg_catalog.pg_database d on d.oid = l.objoid
where l.classoid = 'pg_catalog.pg_database'::regclass
  and d.datname = pg_catalog.current_database()
order by l.provider
