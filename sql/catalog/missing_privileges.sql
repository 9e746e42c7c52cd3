-- What the connected role would need in this database to create schemas and to fill the schema public, and does not have.
select 'CREATE ON DATABASE ' || quote_ident(d.datname) as name
from pg_catalog.pg_database d
where d.datname = current_database()
  and not pg_catalog.has_database_privilege(d.oid, 'CREATE')
union all
select 'CREATE ON SCHEMA public'
from pg_catalog.pg_namespace n
where n.nspname = 'public'
  and not pg_catalog.has_schema_privilege(n.oid, 'CREATE')
