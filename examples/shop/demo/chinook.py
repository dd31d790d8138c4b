"""A history out of a Chinook file: tracks are products, genres categories, invoices orders."""

from pathlib import Path

from examples.shop.demo.source import BadSource, Source, Step, money, place_orders

NEEDED = {
    "Genre": ("GenreId", "Name"),
    "Track": ("TrackId", "Name", "GenreId", "UnitPrice"),
    "Customer": ("CustomerId", "FirstName", "LastName", "Country"),
    "Invoice": ("InvoiceId", "CustomerId", "InvoiceDate", "BillingCountry", "Total"),
    "InvoiceLine": ("InvoiceLineId", "InvoiceId", "TrackId", "UnitPrice", "Quantity"),
}

VIEWS = (
    """
    create temp view products as
    select 't' || t.TrackId as product_id, t.Name as name, coalesce(g.Name, 'No genre') as category,
           cast(round(t.UnitPrice * 100) as integer) as price_cents
    from main.Track t left join main.Genre g on g.GenreId = t.GenreId
    """,
    """
    create temp view customers as
    select 'c' || CustomerId as customer_id, FirstName || ' ' || LastName as name, coalesce(Country, 'No country') as country
    from main.Customer
    """,
    """
    create temp view orders as
    select 'i' || InvoiceId as order_id, 'c' || CustomerId as customer_id, coalesce(BillingCountry, 'No country') as country,
           substr(InvoiceDate, 1, 10) as placed_on, 'placed' as status, cast(round(Total * 100) as integer) as total_cents
    from main.Invoice
    """,
    """
    create temp view lines as
    select 'i' || l.InvoiceId as order_id, l.InvoiceLineId as line_no, 't' || l.TrackId as product_id,
           coalesce(g.Name, 'No genre') as category, l.Quantity as quantity,
           cast(round(l.UnitPrice * 100) as integer) as unit_cents
    from main.InvoiceLine l left join main.Track t on t.TrackId = l.TrackId left join main.Genre g on g.GenreId = t.GenreId
    """,
)


def open_chinook(path: Path) -> Source:
    """The file with the four views of a source. Raises BadSource, naming what a Chinook file has and this one lacks."""
    source = Source(path)
    try:
        missing: list[str] = []
        for table, columns in NEEDED.items():
            present = {str(row[0]).lower() for row in source.rows("select name from pragma_table_info(?)", table)}
            if not present:
                missing.append(f"table {table}")
            else:
                missing.extend(f"column {table}.{column}" for column in columns if column.lower() not in present)
        if missing:
            raise BadSource(f"{path} is not a Chinook database: it has no {', no '.join(missing)}")
        for view in VIEWS:
            source.rows(view)
    except BadSource:
        source.close()
        raise
    return source


def chinook_steps(source: Source) -> list[Step]:
    """First the catalogue and the customers, then the orders by date."""
    steps = [
        Step(
            0,
            f"create-{product_id}",
            "CreateProduct",
            {"product_id": product_id, "name": name, "category": category, "price": money(cents)},
            product_id,
        )
        for product_id, name, category, cents in source.rows(
            "select product_id, name, category, price_cents from products order by cast(substr(product_id, 2) as integer)"
        )
    ]
    steps += [
        Step(
            0,
            f"register-{customer_id}",
            "RegisterCustomer",
            {"customer_id": customer_id, "name": name, "country": country},
            customer_id,
        )
        for customer_id, name, country in source.rows(
            "select customer_id, name, country from customers order by cast(substr(customer_id, 2) as integer)"
        )
    ]
    return steps + place_orders(source, 1)
