-- Whether this role may have the server read what its operating system says of the server's processes.
select
    pg_catalog.has_function_privilege('pg_catalog.pg_read_file(text, bigint, bigint, boolean)', 'execute')
    and (pg_catalog.pg_has_role('pg_read_server_files', 'member')
         or (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)) as seen;
