-- What a session of the connected database begins with, whatever ours has set since, and what the server would begin with if
-- nobody had set anything. Texts only of settings that are known to hold no secrets.
select s.name::text as name,
       s.reset_val as value,
       s.boot_val as boot_value,
       s.unit as unit
from pg_catalog.pg_settings s
where s.reset_val is not null
  and (s.vartype <> 'string'
       or lower(s.name) in ('timezone', 'datestyle', 'lc_monetary', 'lc_numeric', 'lc_time', 'default_text_search_config',
                            'default_table_access_method', 'search_path', 'shared_preload_libraries', 'temp_tablespaces'))
order by s.name
