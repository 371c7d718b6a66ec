"""The 18 identifiers that health data must lose to be de-identified, and how properties that hold them are called.

Source: 45 CFR 164.514(b)(2)(i), (A) to (R): https://www.ecfr.gov/current/title-45/section-164.514 and the guidance of
the U.S. Department of Health and Human Services,
https://www.hhs.gov/hipaa/for-professionals/special-topics/de-identification/index.html.

Names are all that can be told by a program: what somebody writes into a property called ``note`` is not found here.
Patterns are as in file names, and are compared with names in the form ``email_address``, whatever they are written in
(``emailAddress``, ``Email-Address``, ``$email_address``). The first that matches says which identifier it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OLDEST_AGE: Final = 89
"""Ages beyond it are told as one category, "90 or older" (164.514(b)(2)(i)(C))."""

IDENTIFIERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "O ip address": ("ip", "*_ip", "ip_*", "*ip_addr*", "ipv4", "ipv6", "remote_addr", "x_forwarded_for"),
        "F email": ("*email*", "*e_mail*", "mail", "*_mail"),
        "M device": (
            *("*device_id*", "*device_serial*", "*serial_number*", "*serial_no", "imei", "*_imei", "udid", "idfa"),
            *("idfv", "gaid", "*mac_address*", "*advertising_id*"),
        ),
        "A name": (
            *("name", "names", "*first_name", "*last_name", "*middle_name", "*full_name", "*given_name", "*user_name"),
            *("*family_name", "*maiden_name", "*surname", "*nickname", "*display_name", "username", "initials"),
            *("patient", "*patient_name", "*person_name", "*member_name", "*contact_name", "*customer_name"),
            *("*guardian_name", "*next_of_kin*", "firstname", "lastname", "fullname"),
        ),
        "B place": (
            *("*address*", "street*", "*_street", "city", "*_city", "*_city_name", "county", "*_county", "precinct"),
            *(
                "zip",
                "zip_*",
                "zipcode*",
                "*_zip*",
                "*postal*",
                "*postcode*",
                "*geocode*",
                "*latitude",
                "*longitude",
                "lat",
                "lng",
                "lon",
            ),
            *("location", "*_location", "coordinates", "*_coordinates", "geoip_*"),
        ),
        "C date": (
            *("*birth*", "dob", "*_dob", "*admission*", "*admitted*", "*admit_date*", "*discharge*", "*death*"),
            *("*deceased*", "*date_of_service*", "*service_date*", "*appointment*", "*visit_date*", "*procedure_date*"),
        ),
        "D telephone": ("*phone*", "*mobile*", "*cell_number*", "tel", "*_tel", "*telefon*", "msisdn", "*_msisdn"),
        "E fax": ("fax", "*_fax*", "fax_*"),
        "G social security": (
            *("ssn", "*_ssn", "ssn_*", "*social_security*", "*national_id*", "*tax_id", "*national_insurance*"),
        ),
        "H medical record": (
            *("mrn", "*_mrn", "mrn_*", "*medical_record*", "*patient_id*", "*patient_number*", "*chart_number*"),
            *("*encounter_id*", "*prescription_number*"),
        ),
        "I health plan": (
            *("*health_plan*", "*insurance*", "*beneficiary*", "*member_id*", "*policy_number*", "*subscriber_id*"),
            *("medicare*", "medicaid*", "*_medicare*", "*_medicaid*"),
        ),
        "J account": (
            *("*account_number*", "*account_no", "*account_id*", "*bank_account*", "iban", "*_iban", "*card_number*"),
            *("*credit_card*", "*debit_card*"),
        ),
        "K licence": ("*license*", "*licence*", "*certificate*", "*passport*", "npi", "*_npi", "dea_number"),
        "L vehicle": ("*vehicle*", "vin", "*_vin", "vin_*", "*number_plate*", "*plate_number*"),
        "N url": (
            *("url", "*_url", "url_*", "*_url_*", "uri", "*_uri", "href", "*_href", "*referrer*", "*referring_domain*"),
            *("pathname", "*_pathname"),
        ),
        "P biometric": (
            *("*biometric*", "fingerprint*", "finger_print*", "*_fingerprint", "*voiceprint*", "*voice_print*"),
            *("*retina*", "iris_*", "*_iris", "*face_id*", "*faceprint*"),
        ),
        "Q photograph": (
            *("*photo*", "*avatar*", "*selfie*", "*portrait*", "*headshot*", "*face_image*", "*profile_picture*"),
            *("*profile_image*",),
        ),
        "R other number": ("distinct_id", "*_distinct_id", "user_id", "*_user_id", "person_id", "*_person_id"),
    }
)
"""By the letter of the rule and a word for it."""

NOT_ABOUT_PEOPLE: Final = frozenset({"$exception_fingerprint", "$process_person_profile", "$geoip_disable"})
"""PostHog's own properties that only look like identifiers."""
