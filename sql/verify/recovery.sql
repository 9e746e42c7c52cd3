-- Whether the server is a standby: there nothing can be mended.
select pg_catalog.pg_is_in_recovery() as in_recovery
