-- Texts that are bytes in the encoding $2, in hexadecimal digits, in their order.
select pg_catalog.convert_from(pg_catalog.decode(n.digits, 'hex'), $2::name) as text
from pg_catalog.unnest($1::text[]) with ordinality as n (digits, place)
order by n.place
