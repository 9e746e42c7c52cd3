-- How many more sessions there can be: on the server, in this database, and of this role. A limit of -1 is none.
select pg_catalog.current_setting('max_connections')::int8 as most,
       pg_catalog.current_setting('superuser_reserved_connections')::int8
           + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int8 as reserved,
       o.everywhere as open_everywhere,
       d.datconnlimit::int8 as database_limit,
       o.in_database as open_in_database,
       r.rolconnlimit::int8 as role_limit,
       o.of_role as open_of_role
from pg_catalog.pg_database d
cross join pg_catalog.pg_roles r
cross join (select pg_catalog.count(*) as everywhere,
                   pg_catalog.count(*) filter (where a.datname = pg_catalog.current_database()) as in_database,
                   pg_catalog.count(*) filter (where a.usename = current_user) as of_role
            from pg_catalog.pg_stat_activity a
            -- Of other roles' sessions one may not be told the kind.
            where coalesce(a.backend_type, 'client backend') = 'client backend'
              and a.usesysid is not null) o
where d.datname = pg_catalog.current_database()
  and r.rolname = current_user
