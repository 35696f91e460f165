import { expect, test } from "vitest";
import { companyOf, faults, supplierOf } from "./supplier";

const COMPANY = {
  company_name: "Nordlys",
  legal_business_name: "Nordlys Compute AS",
  contact_email: "post@nordlys.example",
  contact_phone: "+47 22 12 34 56",
  business_address: "Storgata 1, Oslo",
  authorized_signatory: "Kari Nordmann",
  signatory_title: "CEO",
  infrastructure_description: "",
};

test("everything but the description is required", () => {
  expect(faults(COMPANY)).toEqual({});
  expect(Object.keys(faults(companyOf(null)))).toHaveLength(7);
  expect(faults({ ...COMPANY, signatory_title: "   " })).toHaveProperty("signatory_title");
});

test.each(["+49 (0)69 / 123-45.67", "004722123456", "212 555 0100 x12"])(
  "%s is a phone number",
  (phone) => {
    expect(faults({ ...COMPANY, contact_phone: phone })).toEqual({});
  },
);

test.each(["call me", "12", "+1<script>5550100"])("%s is no phone number", (phone) => {
  expect(faults({ ...COMPANY, contact_phone: phone })).toHaveProperty("contact_phone");
});

test("an address without an @ is refused", () => {
  expect(faults({ ...COMPANY, contact_email: "nordlys" })).toHaveProperty("contact_email");
});

test("what is sent is trimmed, and no description is null", () => {
  const sent = supplierOf({
    ...COMPANY,
    company_name: " Nordlys ",
    infrastructure_description: " ",
  });
  expect(sent.company_name).toBe("Nordlys");
  expect(sent.infrastructure_description).toBeNull();
});
