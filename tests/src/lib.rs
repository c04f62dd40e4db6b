//! Properties, conformance and end-to-end tests over the whole product.
