-- How many locks the server has room for: about so many for each session that there may be, whoever needs them.
select
    pg_catalog.current_setting('max_locks_per_transaction')::int8 as per_session,
    pg_catalog.current_setting('max_connections')::int8
        + pg_catalog.current_setting('max_prepared_transactions')::int8 as sessions,
    (select pg_catalog.count(*)
     from pg_catalog.pg_class c
     join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm')
       and n.nspname not in ('pg_catalog', 'information_schema')
       and n.nspname !~ '^pg_(toast|temp)') as tables;
