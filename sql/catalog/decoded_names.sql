-- Names that are bytes in the database's encoding, in hexadecimal digits, in their order.
select pg_catalog.convert_from(pg_catalog.decode(n.digits, 'hex'), pg_catalog.getdatabaseencoding()) as name
from pg_catalog.unnest($1::text[]) with ordinality as n (digits, place)
order by n.place
