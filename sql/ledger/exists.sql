-- Whether the connected database has a ledger.
select pg_catalog.to_regclass('pgconvoy.run') is not null as found;
