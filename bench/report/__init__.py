"""What is made of the figures: tables, pictures, pages."""
