-- Databases of the server besides this one, and the one that every server has; sizes only of those that we may connect to.
select d.datname::text as name,
       case when pg_catalog.has_database_privilege(d.oid, 'CONNECT') then pg_catalog.pg_database_size(d.oid) end as bytes
from pg_catalog.pg_database d
where not d.datistemplate
  and d.datallowconn
  and d.datname not in (pg_catalog.current_database(), 'postgres')
order by d.datname
