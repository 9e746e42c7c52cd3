-- Whether the connected database is a target that follows a source.
select pg_catalog.to_regclass('pgconvoy_follow.state') is not null as found
