-- The files in a directory of the data directory, and their sizes. A file that goes away meanwhile has none, and a directory that is not
-- there no files.
select f.name::text as name,
       (pg_catalog.pg_stat_file($1 || '/' || f.name, true)).size as size_bytes
from pg_catalog.pg_ls_dir($1, true, false) f(name)
where f.name ~ '^[0-9]+(_vm|_fsm|_init)?([.][0-9]+)?$'
