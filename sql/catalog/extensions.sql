-- Extensions that can be created here or are there already, with the version there is.
select a.name::text as name,
       a.default_version as default_version,
       a.installed_version as installed_version
from pg_catalog.pg_available_extensions a
order by a.name
