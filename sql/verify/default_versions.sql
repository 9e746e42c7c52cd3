-- The version that CREATE EXTENSION would make, of every extension that is there.
select a.name::text as name,
       a.default_version as version
from pg_catalog.pg_available_extensions a
where a.installed_version is not null
order by a.name
